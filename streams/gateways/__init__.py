"""One file per protocol: how accepted setpoints reach a site controller and what it reports back."""
