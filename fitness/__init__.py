"""Problems, evaluation, statistics and the gate."""
