"""A Sail server in a process of its own: ``python sail.py``; prints its port."""

from __future__ import annotations

import time

from pysail.spark import SparkConnectServer

if __name__ == "__main__":
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    address = server.listening_address
    assert address is not None
    print(address[1], flush=True)
    while True:
        time.sleep(3600)
