"""Run `python -m pyro_rationale.prepare`; the command itself is :mod:`pyro_rationale.cli.prepare`."""

if __name__ == "__main__":
    from pyro_rationale.__main__ import run

    run("prepare")
