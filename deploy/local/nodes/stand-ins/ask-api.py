"""Owns one question to the kube-apiserver of the node that this runs on: ask-api.py CA PATH.

Prints the status on one line, then the body; nothing when there is no answer.
"""

import ssl
import sys
import urllib.error
import urllib.request

ca, path = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
try:
    with urllib.request.urlopen(f"https://127.0.0.1:6443{path}", context=context, timeout=5) as answer:
        status, body = answer.status, answer.read()
except urllib.error.HTTPError as refusal:
    status, body = refusal.code, refusal.read()
except OSError:
    sys.exit()
print(status, flush=True)
sys.stdout.buffer.write(body)
