#!/bin/sh
# iopath 0.1.10: weights at the same path of two web servers, fetched one after the other.
# Guess: the cache tells URLs apart.
# Seen on 2026-11-30 (CPython 3.11.7): only the path of the URL names the file in the cache. The second server is never
# asked; its URL gives the file of the first.
# Why it matters: a cache that is filled here and carried away gives the weights of another server, and nobody is told.
# Detectron2 and fvcore fetch their weights with it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q iopath==0.1.10
cat > "$folder/fetch.py" <<'CODE'
import http.server
import sys
import threading
from pathlib import Path

from iopath.common.file_io import HTTPURLHandler, PathManager


def serve(text):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/models/model.pkl"


manager = PathManager()
manager.register_handler(HTTPURLHandler())
first, second = (
    Path(manager.get_local_path(url, cache_dir=sys.argv[1])).read_text()
    for url in (serve("weights-of-the-first"), serve("weights-of-the-second"))
)
print(first, second)
CODE
seen=$(env no_proxy=127.0.0.1 "$folder/env/bin/python" "$folder/fetch.py" "$folder/cache" 2> "$folder/log") ||
    { cat "$folder/log"; exit 2; }
echo "two servers, the same path: $seen"
[ "$seen" = "weights-of-the-first weights-of-the-first" ] ||
    { echo "this has changed: the servers are told apart"; exit 1; }
