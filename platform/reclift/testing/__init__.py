"""For authors of strategies: the contract suite that the built-in ones inherit, to inherit from in one's own tests.

```python
from reclift.testing import StrategyContract


class TestMyStrategy(StrategyContract):
    key = "my_strategy"
```

Needs pytest.
"""

import pytest

pytest.register_assert_rewrite("reclift.testing.shop", "reclift.testing.answers", "reclift.testing.contract")

from reclift.testing.contract import StrategyContract  # noqa: E402 (after pytest was told to explain its asserts)

__all__ = ["StrategyContract"]
