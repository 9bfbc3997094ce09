"""Licences of Widevine, which the operator's account at Google's licence service makes: its challenges, its signed requests, its answers."""
