"""Modules for SESSION_ENGINE: each names one SessionStore."""
