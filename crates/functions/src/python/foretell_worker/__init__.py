"""The worker: indexes an app, runs its functions, and speaks the protocol of the host."""
