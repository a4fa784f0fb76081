-- The same rows as public.advertising, loaded from the lake through Spectrum instead of from files. Same keys,
-- same reasons.

CREATE TABLE IF NOT EXISTS public.advertising_spectrum (LIKE public.advertising);
