"""Run `python -m pyro_rationale.fit`; the command itself is :mod:`pyro_rationale.cli.fit`."""

if __name__ == "__main__":
    from pyro_rationale.__main__ import run

    run("fit")
