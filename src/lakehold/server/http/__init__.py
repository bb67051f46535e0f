"""The HTTP API: ``/v1``, ``/health``, ``/ready``."""
