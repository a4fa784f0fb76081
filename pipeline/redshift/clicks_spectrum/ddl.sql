-- The same rows as public.clicks, loaded from the lake through Spectrum instead of from files. Same keys,
-- same reasons.

CREATE TABLE IF NOT EXISTS public.clicks_spectrum (LIKE public.clicks);
