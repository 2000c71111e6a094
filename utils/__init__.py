"""Ground floor: code shared by all packages. Knows no network."""
