"""The simulated cloud: the library's scheduler on virtual time, beside what others do.

``python -m efaas.cloud --help`` says what can be asked.
"""
