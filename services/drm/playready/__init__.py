"""Licences of PlayReady, which the operator's own licence server makes: challenges by SOAP, and the signed statement by which it is told what to license."""
