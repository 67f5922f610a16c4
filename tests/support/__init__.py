"""Helpers of the tests."""

SHARED_RUNS = "PYRO_RATIONALE_TEST_RUNS"  # a variable of the environment: the folder of `small_fit.whole`
PATIENCE = 600.0  # seconds that a program may take to begin, or to end, on a busy machine
