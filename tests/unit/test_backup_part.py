"""A part that the backup could not read is refused where it is registered."""

from __future__ import annotations

import pytest

from plugins.filter.backup import backup_part_problems


@pytest.mark.parametrize(
    "text",
    [
        "{name: shop, paths: [/srv/shop], check: [test, -e, '{files}/srv/shop']}",
        "{name: shop, sqlite: [{database: /var/lib/shop/db, user: shop, tables: [orders]}]}",
        "{name: shop, postgresql: {bin_dir: /usr/bin, socket_dir: /run/postgresql, port: 5433}}",
        "{name: shop, prometheus: {url: 'http://127.0.0.1:9090', data_dir: /srv/m, user: shop}}",
    ],
)
def test_what_the_backup_takes(text: str) -> None:
    assert backup_part_problems(text, "shop") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{name: shop}", "saves nothing"),
        ("{name: shop, paths: [srv/shop]}", "must be an absolute path"),
        ("{name: shop, paths: [/srv/../etc]}", "has to be an absolute path"),
        ("{name: shop, paths: [/]}", "has to be an absolute path"),
        ("{name: shop, path: [/srv/shop]}", "path"),
        ("{name: shop, paths: [/srv/shop], verify: [x]}", "verify"),
        ("{name: shop, sqlite: [{database: /var/lib/shop/db}]}", "user"),
        ("{name: shop, postgresql: {bin_dir: /usr/bin, socket_dir: /run, port: 0}}", "port"),
        ("{name: Shop, paths: [/srv/shop]}", "name"),
        ("{name: other, paths: [/srv/shop]}", "name: is other"),
        ("[", "shop.yml"),
    ],
)
def test_what_it_refuses(text: str, said: str) -> None:
    (problem,) = backup_part_problems(text, "shop")
    assert said in problem
