#!/bin/sh
# Make an environment of downloaded packages, each with the hash that is expected; install_wheels.sh FOLDER WHEELS.
# An environment that is not complete is made anew: a run may have died.
set -eu
umask 022
folder=$1 wheels=$2

rm -rf "$folder"
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir --no-index --no-deps --require-hashes --only-binary :all: \
    --find-links "$wheels" --requirement "$wheels/requirements.txt"
rm -r "$wheels"
touch "$folder/complete"
