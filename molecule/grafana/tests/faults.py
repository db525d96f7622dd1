"""What has to hold while the directory is of no use."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager

from grafana import ADMIN, Grafana
from people import BIND_PASSWORD, password_of

SECONDS = 5
SECRETS = (password_of("frank"), password_of("ada"), BIND_PASSWORD)


def assert_only_the_local_admin_gets_in(
    grafana: Grafana, fault: AbstractContextManager[None], reason: str
) -> None:
    """Who gains by a fault? Nobody; and all is well again when it is over."""
    grafana.signed_in("frank")
    before = grafana.roles()
    with fault:
        mark = grafana.mark()
        refused = grafana.refused("frank")
        assert refused.seconds < SECONDS
        assert grafana.refused("ada").seconds < SECONDS
        noted = grafana.noted(mark)
        assert re.search(reason, noted, re.IGNORECASE), noted
        # The directory is asked first, whoever it is: the local admin waits for it, too.
        _, admin = grafana.sign_in(ADMIN)
        assert admin.status == 200
        assert admin.seconds < SECONDS + 1
        assert grafana.roles() == before
    assert grafana.signed_in("frank").get("/api/user")["login"] == "frank"
    grafana.signed_in("ada")
    assert grafana.roles() == before
    assert [word for word in SECRETS if word in noted] == []
