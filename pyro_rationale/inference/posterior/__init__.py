"""The exact posterior over masks, by enumeration, importance sampling and Markov chains, and the evidence."""
