"""From counts to chances: the likelihood, Algorithm 1, and compatibility. Pure: arrays in, arrays out."""
