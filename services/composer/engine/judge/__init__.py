"""Measures of a finished song: how loud it is, whether the singer's tune is heard in it, which variant is better."""
