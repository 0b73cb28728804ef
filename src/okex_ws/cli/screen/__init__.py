"""The screen of ``okex-ws watch``: what it draws, and what keys do."""
