"""Run `python -m pyro_rationale.index`; the command itself is :mod:`pyro_rationale.cli.index`."""

if __name__ == "__main__":
    from pyro_rationale.__main__ import run

    run("index")
