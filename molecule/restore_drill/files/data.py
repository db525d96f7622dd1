#!/usr/bin/python3
"""Data of every kind: a database, samples of the last hours, a file of SQLite, configuration."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

SHOP, CONFIGURATION = Path("/var/lib/shop"), Path("/etc/shop")
SAMPLES = Path("/var/lib/prometheus/metrics2")
SQL = """
CREATE ROLE shop LOGIN PASSWORD 'canary-shop-4711';
CREATE DATABASE shop OWNER shop;
\\connect shop
SET ROLE shop;
CREATE SCHEMA store;
CREATE TABLE store.orders (id bigserial PRIMARY KEY, price double precision NOT NULL,
  placed timestamptz NOT NULL, photo bytea, details jsonb, note text);
INSERT INTO store.orders (price, placed, photo, details, note)
  SELECT i / 7.0, timestamptz '2024-02-29 23:59:59.123456+00' + i * interval '1 hour',
    decode(md5(i::text), 'hex'), jsonb_build_object('n', i, 'tags', ARRAY['a', 'ü']),
    CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'line' || chr(10) || i END
  FROM generate_series(1, 2000) AS i;
CREATE TABLE customers (id int PRIMARY KEY, name text);
INSERT INTO customers SELECT i, 'customer ' || i FROM generate_series(1, 50) AS i;
CREATE VIEW expensive AS SELECT * FROM store.orders WHERE price > 100;
"""


def run(*argv: str, **more: object) -> None:
    subprocess.run(argv, check=True, timeout=120, **more)  # type: ignore[call-overload]


def samples() -> None:
    """Blocks of the last hours, as a Prometheus has that has run for a while."""
    now = int(time.time())
    moments = range(now - 6 * 3600, now - 60, 30)
    lines = [f"lookout:canary {at} {at}" for at in moments]
    lines += [f'shop_orders_total{{job="shop"}} {at - now + 30000} {at}' for at in moments]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "samples")
        file.write_text("\n".join([*lines, "# EOF"]) + "\n", encoding="ascii")
        run("promtool", "tsdb", "create-blocks-from", "openmetrics", str(file), f"{folder}/out")
        run("systemctl", "stop", "prometheus")
        for block in Path(folder, "out").iterdir():
            shutil.move(block, SAMPLES / block.name)
        run("chown", "-R", "prometheus:prometheus", str(SAMPLES))
        run("systemctl", "start", "prometheus")


def database() -> None:
    run(
        "runuser",
        "-u",
        "postgres",
        "--",
        "psql",
        "-v",
        "ON_ERROR_STOP=1",
        "-q",
        input=SQL,
        text=True,
    )


def history() -> None:
    SHOP.mkdir(exist_ok=True)
    file = SHOP / "status.db"
    with sqlite3.connect(file) as connection:
        connection.execute(
            "CREATE TABLE runs (id INTEGER PRIMARY KEY, task TEXT, took REAL, log BLOB)"
        )
        connection.executemany(
            "INSERT INTO runs (task, took, log) VALUES (?, ?, ?)",
            [(f"task {n % 7}", n / 13, os.urandom(200)) for n in range(500)],
        )
    run("chown", "-R", "nobody:nogroup", str(SHOP))


def configuration() -> None:
    (CONFIGURATION / "conf.d").mkdir(parents=True, exist_ok=True)
    (CONFIGURATION / "shop.yml").write_text("name: shop\nport: 8080\n", encoding="ascii")
    (CONFIGURATION / "conf.d/secret").write_text("canary-secret-4711\n", encoding="ascii")
    (CONFIGURATION / "conf.d/secret").chmod(0o640)
    run("chgrp", "-R", "mail", str(CONFIGURATION / "conf.d"))
    (CONFIGURATION / "conf.d").chmod(0o2775)
    (CONFIGURATION / "current").symlink_to("conf.d/secret")


if __name__ == "__main__":
    for make in (samples, database, history, configuration):
        make()
    (SHOP / "made").touch()
