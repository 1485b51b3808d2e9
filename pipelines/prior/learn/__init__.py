"""Training of the small networks beside a prior: `nilatron prior learn-...`."""
