"""Large files over HTTP: whole, verified and bounded, or not at all."""
