#!/bin/sh
# Download the packages of a requirements file for another host's Python and processor, into one archive.
# fetch_wheels.sh PYTHON REQUIREMENTS VERSION MACHINE ARCHIVE. pip itself knows PIP_INDEX_URL.
set -eu
python=$1 requirements=$2 version=$3 machine=$4 archive=$5

mkdir -p "$(dirname "$archive")"
fresh=$(mktemp -d "$archive.XXXXXX")
trap 'rm -rf "$fresh" "$fresh.tar"' EXIT
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
    --python-version "$version" --implementation cp \
    --platform "manylinux_2_28_$machine" --platform "manylinux_2_17_$machine" --platform "manylinux2014_$machine" \
    --platform "manylinux_2_12_$machine" --platform "manylinux2010_$machine" \
    --dest "$fresh" --requirement "$requirements"
cp "$requirements" "$fresh/requirements.txt"
tar --create --file "$fresh.tar" --directory "$fresh" .
mv "$fresh.tar" "$archive"
