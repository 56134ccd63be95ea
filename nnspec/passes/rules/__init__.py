"""The rewrites of ``simplify``, by what they are about; each is a rule for the driver."""
