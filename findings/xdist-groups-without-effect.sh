#!/bin/sh
# pytest 9.2.0 with pytest-xdist 3.8.0: tests of one xdist_group run in several processes under --dist=loadgroup.
# Guess: the tests of a group run in one process, as with pytest 8, and as xdist's help says.
# Seen on 2026-11-30 (CPython 3.11.7): no warning, "scheduling tests via LoadGroupScheduling", and the four tests of
# one group in both processes (gw0 gw1). xdist puts the group's name into a private attribute of the test, which
# this pytest no longer reads. --dist=loadfile and loadscope are not concerned.
# Why it matters: tests that may not run at the same time do, and fail now and then.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pytest==9.2.0 pytest-xdist==3.8.0
cat > "$folder/test_group.py" <<'TEST'
import os
import time

import pytest


@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("number", range(4))
def test_one(number, worker_id):
    time.sleep(0.5)
    with open(os.environ["SEEN"], "a") as stream:
        stream.write(worker_id + "\n")
TEST
SEEN=$folder/seen "$folder/env/bin/python" -m pytest -q -n2 --dist=loadgroup "$folder/test_group.py"
workers=$(sort -u "$folder/seen" | tr '\n' ' ')
echo "the tests of one group ran in: $workers"
[ "$workers" = "gw0 gw1 " ] || { echo "this has changed: the group stays together now"; exit 1; }
