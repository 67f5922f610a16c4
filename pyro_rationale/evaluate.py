"""Run `python -m pyro_rationale.evaluate`; the command itself is :mod:`pyro_rationale.cli.evaluate`."""

if __name__ == "__main__":
    from pyro_rationale.__main__ import run

    run("evaluate")
