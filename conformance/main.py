"""Starts a server, runs every scenario against it, and says how many passed."""

import sys
import traceback

import scenarios
from server import Server


def main(words: list[str]) -> int:
    chosen = [s for s in scenarios.ALL if not words or any(word in s.name for word in words)]
    if not chosen:
        print(f"no scenario is named like {words}", file=sys.stderr)
        return 2
    passed, failed = 0, 0
    topics = {scenario.name: f"conformance-{n}" for n, scenario in enumerate(chosen, 1)}
    with Server(list(topics.values())) as server:
        for scenario in chosen:
            try:
                scenario.run(server.topic(topics[scenario.name]))
            except Exception as error:  # one failure must not hide the others
                failed += 1
                print(f"FAILED  {scenario.name}")
                if not isinstance(error, AssertionError):
                    traceback.print_exc()
                print(f"        {error}".replace("\n", "\n        "))
            else:
                passed += 1
                print(f"passed  {scenario.name}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
