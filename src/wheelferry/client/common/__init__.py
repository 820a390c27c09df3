"""What every part that runs on a client uses: files, processes, messages, and how a bundle is read."""
