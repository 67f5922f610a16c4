"""Run `python -m pyro_rationale.compare`; the command itself is :mod:`pyro_rationale.cli.compare_objectives`."""

if __name__ == "__main__":
    from pyro_rationale.__main__ import run

    run("compare")
