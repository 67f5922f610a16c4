"""Run `python -m pyro_rationale.stress`; the command itself is :mod:`pyro_rationale.cli.stress`."""

if __name__ == "__main__":
    from pyro_rationale.__main__ import run

    run("stress")
