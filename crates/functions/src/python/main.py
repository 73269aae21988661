"""The process that runs one Azure Functions app for Foretell.

Run as a script by the interpreter of the app's virtual environment; the working directory is the
app's folder. Requests come on standard input, answers go to standard output; the user's code sees
neither (see foretell_worker.protocol).
"""

from foretell_worker.worker import main

# A process that the user's code spawns by multiprocessing imports this file again.
if __name__ == "__main__":
    main()
