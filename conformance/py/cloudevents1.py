"""The CloudEvents SDK of the CNCF before its version 2: makes the message that standard input asks for."""

import base64
import json
import sys

from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent

asked = json.load(sys.stdin)
data = asked["data"]
if asked["bytes"]:
    data = base64.b64decode(data)
form = {"structured": to_structured, "binary": to_binary}[asked["form"]]
headers, body = form(CloudEvent(asked["attributes"], data))
body = body.encode() if isinstance(body, str) else body or b""
json.dump({"headers": headers, "body": base64.b64encode(body).decode()}, sys.stdout)
