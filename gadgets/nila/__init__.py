"""The Nila family of reconstructions.

settings   properties of the targets
method     nila and nila_published, as `gadgets.methods` knows them
run        one run of the sampler, for a slice or several at once
samples    posterior samples and what is made of them
prior      the prior of this process
budget     what fits into the time that is left
"""
