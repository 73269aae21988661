"""Runs every scenario against a server, over http and over https, and says how many passed."""

import logging
import sys
import traceback

import scenarios
from issuer import Issuer
from server import Server


# The publisher's serializer warns of the certificate to trust, which it hands on all the same.
logging.getLogger("azure").setLevel(logging.ERROR)


def main(words: list[str]) -> int:
    chosen = [s for s in scenarios.ALL if not words or any(word in s.name for word in words)]
    if not chosen:
        print(f"no scenario is named like {words}", file=sys.stderr)
        return 2
    passed, failed = 0, 0
    with Issuer() as issuer:
        for https in (False, True):
            scheme = "https" if https else "http"
            ran = [scenario for scenario in chosen if https or not scenario.https_alone]
            topics = {f"conformance-{n}": scenario.create for n, scenario in enumerate(ran, 1)}
            with Server(topics, issuer, https) as server:
                for scenario, topic in zip(ran, topics):
                    try:
                        scenario.run(server.topic(topic))
                    except Exception as error:  # one failure must not hide the others
                        failed += 1
                        print(f"FAILED  {scheme:5}  {scenario.name}")
                        if not isinstance(error, AssertionError):
                            traceback.print_exc()
                        print(f"        {error}".replace("\n", "\n        "))
                    else:
                        passed += 1
                        print(f"passed  {scheme:5}  {scenario.name}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
