#!/bin/sh -eu
# writer.sh: one row a transaction until the server goes; prints what was acknowledged.
cd /
for n in $(seq 100000); do
    runuser -u postgres -- psql -Xq app -c "insert into kept values ('w$n')"
    echo "w$n"
done
