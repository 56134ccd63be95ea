"""The reading room: a spec's text becomes nodes with places, formulas become values, settings become nodes."""
