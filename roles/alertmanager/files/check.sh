#!/bin/sh -e
# Checks a configuration tree with Alertmanager's own tools. A mail template that cannot be rendered
# loses mails, and Alertmanager says so only when one is due: hence the rendering.
amtool check-config "$1/alertmanager.yml"
for part in text:lookout.subject text:lookout.text html:lookout.html; do
    amtool template render --template.glob="$1/templates/*.tmpl" --template.type="${part%%:*}" \
        --template.text="{{ template \"${part#*:}\" . }}" >/dev/null
done
