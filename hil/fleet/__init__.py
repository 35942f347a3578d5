"""Many simulated sites at once: the devices' physical steps over arrays of sites, without site controllers."""
