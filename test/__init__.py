"""Makes `python3 -m test.emulator` find this directory before the standard library's `test` package."""
