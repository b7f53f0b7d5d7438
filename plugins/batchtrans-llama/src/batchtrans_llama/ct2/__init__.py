"""The decode engine ``ct2``: CTranslate2 on the processor, from files to tokens without torch."""
