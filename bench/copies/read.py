#!/usr/bin/env python3
"""What a process has copied since an earlier copy of its file was kept: read.py PID CALLS PROGRAM BEFORE [LINES]."""

import re
import struct
import subprocess
import sys


def load(path):
    counts = {}
    data = open(path, "rb").read()
    for place in range(0, len(data), 32):
        caller, calls, size, _ = struct.unpack_from("<4Q", data, place)
        if caller:
            counts[caller] = (calls, size)
    return counts


pid, requests, program, before = sys.argv[1], int(sys.argv[2]), sys.argv[3], load(sys.argv[4])
after = load(f"copies.{pid}")
maps = [line for line in open(f"/proc/{pid}/maps") if line.rstrip().endswith("/aqueduct")]
base = min(int(line.split("-")[0], 16) for line in maps)
rows = []
for caller, (calls, size) in after.items():
    calls_before, size_before = before.get(caller, (0, 0))
    rows.append(((size - size_before) / requests, (calls - calls_before) / requests, caller))
rows.sort(reverse=True)
print(f"bytes a request: {sum(row[0] for row in rows):.0f}, in {sum(row[1] for row in rows):.0f} calls")
for size, calls, caller in rows[: int(sys.argv[5]) if len(sys.argv) > 5 else 14]:
    where = ["addr2line", "-Cfie", program, hex(caller - base - 1)]
    names = subprocess.run(where, capture_output=True, text=True, check=True).stdout.split("\n")[:-1:2]
    print(f"{size:9.0f} B in {calls:6.2f}:", " < ".join(re.sub(r"<.*", "", name)[:60] for name in names[:7]))
