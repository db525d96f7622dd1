"""writer.py CLIENT: one row a transaction until the server goes; prints what was acknowledged."""

import sys

import psycopg2

CLIENT = int(sys.argv[1])
connection = psycopg2.connect("dbname=spots user=postgres host=/var/run/postgresql")
try:
    for number in range(CLIENT * 1_000_000, (CLIENT + 1) * 1_000_000):
        with connection, connection.cursor() as cursor:
            cursor.execute("insert into said values (%s)", (number,))
        print(number, flush=True)
except psycopg2.Error:
    pass
