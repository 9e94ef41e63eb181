/** Version of Isobar, as its packages have it: told to operators by whoever runs it. */
export const softwareVersion = '0.2.0';
