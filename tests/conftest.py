"""Before any test imports anything: libraries that report their use to their makers are told not to."""

import hififace  # noqa: F401
