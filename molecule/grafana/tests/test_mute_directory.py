"""A directory that takes connections and says nothing: its disk is dead, or it hangs.

Over LDAPS Grafana gives up after `grafana_ldap_timeout_seconds`. Over StartTLS its time-out ends
with the TCP connection, and it waits for the answer without an end (README).
"""

from __future__ import annotations

from faults import assert_only_the_local_admin_gets_in
from grafana import Grafana
from people import mute

HOSTS = ["trixie"]


def test_a_sign_in_gives_up(grafana: Grafana) -> None:
    assert_only_the_local_admin_gets_in(grafana, mute(), r"time.?out|timed out|deadline")
