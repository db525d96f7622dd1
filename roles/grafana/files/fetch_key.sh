#!/bin/sh -e
# Prints the key of a repository that can be reached, fetched as apt fetches (proxies, mirrors, folders of the host).
#   fetch_key.sh URL SUITE KEY_URL
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
for what in "$1/dists/$2/InRelease" "$3"; do
    rm -f "$folder/got"
    if ! said=$(/usr/lib/apt/apt-helper -o Acquire::Retries=0 -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10 \
        download-file "$what" "$folder/got" 2>&1) || ! [ -s "$folder/got" ]; then
        echo "$what: $(echo "$said" | grep -m 1 '^E:' | cut -c 4-)" >&2
        exit 1
    fi
done
cat "$folder/got"
