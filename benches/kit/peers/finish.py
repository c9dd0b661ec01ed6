"""What a program that writes bodies alone leaves to its user: header, trailer, SHA-256, archive and manifest."""

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

HEADER = b"call_id|record_type|start_time|answer_time|calling|called|duration_s|charge|cell_id|note\n"


def prepare(out):
    """Makes the directories anew."""
    shutil.rmtree(out, ignore_errors=True)
    for name in ("out", "archive", "parts"):
        os.makedirs(f"{out}/{name}")


def finish(parts, out):
    """Makes the partner's files of `parts`, which are lists of files without header by hour."""
    with ThreadPoolExecutor(2) as executor:
        list(executor.map(lambda hour: hour_file(hour, sorted(parts[hour]), out), sorted(parts)))


def hour_file(hour, bodies, out):
    name = f"CDR_{hour}.txt"
    digest, records, size = hashlib.sha256(), 0, 0
    with open(f"{out}/out/{name}", "wb", 0) as file, open(f"{out}/archive/{name}", "wb", 0) as copy:

        def put(piece):
            nonlocal size
            digest.update(piece)
            file.write(piece)
            copy.write(piece)
            size += len(piece)

        put(HEADER)
        for body in bodies:
            with open(body, "rb", 0) as read:
                while piece := read.read(1 << 20):
                    records += piece.count(b"\n")
                    put(piece)
            os.unlink(body)
        put(b"TRL|%d\n" % records)
    with open(f"{out}/out/MANIFEST_{hour}.txt", "w") as manifest:
        manifest.write(f"{name}|{size}|{records}|{digest.hexdigest()}\n")
