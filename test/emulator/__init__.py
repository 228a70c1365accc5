"""The AWS emulator for tests and the demo: moto, and in front of it what moto lacks. See README.md."""
